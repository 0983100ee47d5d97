"""What a text says of each company that it names: its own clauses, their polarity, and a label made of several readings."""
