"""Methods: named sequences of stages; ``npo+sam@lora`` is the shorthand of a one-stage method."""
