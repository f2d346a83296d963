"""Reports: a job's result as markdown for the Prefect UI and as files that stand alone."""
