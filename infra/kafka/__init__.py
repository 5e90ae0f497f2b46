"""Apache Kafka on this machine: its jars by Maven, and clusters of one or three brokers as child processes."""
