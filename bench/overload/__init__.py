"""What a server does with five times the requests that it can answer: ``make bench-overload``."""
