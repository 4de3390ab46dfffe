"""What a grid asks of machines: memory, time, disk and cards of a job, the plan, the look at a cluster, who runs already."""
