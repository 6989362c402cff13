"""What is answered: flags, admission, expectation, the reasons of each number, and what binds."""
