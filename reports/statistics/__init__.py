"""Statistics: arrays in, numbers out. Each says where it comes from and how well it was seen to hold."""
