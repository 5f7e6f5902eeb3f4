"""What is remembered: tables, transactions, repositories, and the bell that rings the queue after a commit.

Nothing here trains, diagnoses or speaks HTTP. Repositories return contract objects, never rows.
"""
