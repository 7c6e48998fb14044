"""A believable catalog of our own making: departments are data, one file each; making.py uses them."""
