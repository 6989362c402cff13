"""How commands are used: the options that several share, times as people write them, examples."""
