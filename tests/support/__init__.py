"""Helpers of the tests: servers, builders of small files, real engines. No tests."""
