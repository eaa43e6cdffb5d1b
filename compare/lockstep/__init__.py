"""Running the steps, in both modes. Knows neither disk nor screen: it yields what happened at each step."""
