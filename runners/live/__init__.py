"""What a person sees of work while it is done."""
