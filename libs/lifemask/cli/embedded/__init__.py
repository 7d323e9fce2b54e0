"""Parts that a laptop lacks, each in a process of its own: a Kafka broker and a PostgreSQL server."""
