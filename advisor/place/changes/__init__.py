"""From an earlier placement to another one: what stays, what moves, and in which order."""
