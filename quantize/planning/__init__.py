"""Everything known before a weight is read: the Plan, its layout, its costs and its refusals."""
