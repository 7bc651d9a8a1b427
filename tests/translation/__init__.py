"""Golden messages: bytes to facts and facts to bytes, odd character sets among them."""
