"""A worked study: an LSTM on sequences with 23 labels, eight of them without a positive."""
