"""The web page of ModPorter: renders HTML from the backend's API. Keeps no state and knows no secret."""
