"""A box while it runs: started, watched, heard at ticks, ended whole."""
