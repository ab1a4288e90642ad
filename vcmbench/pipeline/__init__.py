"""From a job to a finished run directory: plan, workers, cluster, tracking."""
