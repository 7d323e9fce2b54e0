"""Wire-level stand-ins for Replicate, the Hugging Face Hub and a mail server, with fault switches and a ledger."""
