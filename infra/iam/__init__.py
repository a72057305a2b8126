"""Who may do what: roles, and their statements with the reason of each."""
