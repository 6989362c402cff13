"""All doors in: inventory files, files of lengths, records of requests, and what is wrong with them, by line."""
