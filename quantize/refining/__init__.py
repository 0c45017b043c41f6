"""What errors in a tensor cost, found out before it is quantized: the metrics of --refine."""
