"""Events to panes to shares: the only user of Kafka and Faust."""
