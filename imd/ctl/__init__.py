"""imdctl: the operator's command line. main has the list of commands, each other file one of them or what they share."""
