"""Examples are scripts: importing them, as a search for doctests does, runs them."""

collect_ignore_glob = ["plot_*.py"]
