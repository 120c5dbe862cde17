"""Makes the files that are made from others: headers, classes of objects and errors, pages."""
