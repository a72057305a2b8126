"""The drawn birds of the sample data: anatomy, plumage, scenery and light."""
