"""``--watch``: a command again and again, a round for each edit of the user's code."""
