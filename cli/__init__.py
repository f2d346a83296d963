"""The command line: the same jobs as the flows, typed by hand."""
