"""The languages of deployment files, with places: trees, words, values."""
