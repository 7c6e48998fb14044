"""The import of files into the catalog.

The stages, in the order in which the data passes them: `source` (file → rows), `record_builder` with `column_mapping` (row →
record), `batch` (records → lines of COPY), `loader` (lines → database). `run` joins them.
"""
