"""imdctl: the operator's command line."""
