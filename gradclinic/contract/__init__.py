"""What a client sends and gets back: specs, results, and their names. Knows neither torch nor HTTP."""
