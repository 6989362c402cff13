"""What is measured on which servers, the measurements one by one, and the tables and the profile that come of them."""
