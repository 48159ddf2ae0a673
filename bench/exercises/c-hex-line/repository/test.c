#include "check.h"
#include "hex.h"

int main(void)
{
    char line[HEX_LINE];

    hex_line(line, 16, (const unsigned char *)"Hey\n", 4);
    CHECK_TEXT(line, "0010  48 65 79 0a              Hey.");
    hex_line(line, 0, (const unsigned char *)"8 bytes!", 8);
    CHECK_TEXT(line, "0000  38 20 62 79 74 65 73 21  8 bytes!");
    return failed;
}
