"""The kinds of stage. Each is a file that ends in its own declaration: `KIND`, or `kind_of` a task."""
