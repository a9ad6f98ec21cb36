"""Networks to look at: tables, pictures, and the memory that a step takes."""
