"""The Python client of imd's wire."""
