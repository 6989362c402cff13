"""The command `advisor`: flags, exit codes, terminals."""
