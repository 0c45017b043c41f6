"""What weights lose by a type, and how long and how much memory each type takes."""
