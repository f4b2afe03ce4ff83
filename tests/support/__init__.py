"""What tests share: real files, servers, models and judges. Nothing is imported from a test module."""
