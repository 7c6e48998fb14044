"""The workload of the proof: what its processes write and read, and the pages that its web server serves."""
