"""What the program returns; 0 where every row was written and none is an error."""

NOT_FINISHED, BAD_USAGE, ERROR_ROWS = 1, 2, 3
