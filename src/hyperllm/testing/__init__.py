"""Public conformance suites and small worlds with one right answer."""
