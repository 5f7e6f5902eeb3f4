"""The hands: Celery tasks that claim a job, call the library and record the outcome. Knows nothing of HTTP."""
