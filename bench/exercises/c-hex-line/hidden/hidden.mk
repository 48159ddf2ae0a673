SOURCES = $(filter-out test.c hidden.c,$(wildcard *.c))

hidden:
	cc -std=c11 -fsanitize=address,undefined -fno-sanitize-recover -g -o hidden.bin hidden.c $(SOURCES)
	./hidden.bin

.PHONY: hidden
