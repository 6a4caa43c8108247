"""What the subcommands do, apart from parsing their arguments."""
