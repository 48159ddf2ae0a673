#include "check.h"
#include "hex.h"

int main(void)
{
    char line[HEX_LINE];
    const unsigned char edges[] = {0x00, 0x1f, 0x20, 0x7e, 0x7f, 0x80, 0xff, 'a'};

    hex_line(line, 0x1ff8, edges, sizeof edges);
    CHECK_TEXT(line, "1ff8  00 1f 20 7e 7f 80 ff 61  .. ~...a");
    hex_line(line, 8, edges, 0);
    CHECK_TEXT(line, "0008                           ");
    hex_line(line, 0, (const unsigned char *)"more than eight", 15);
    CHECK_TEXT(line, "0000  6d 6f 72 65 20 74 68 61  more tha");
    return failed;
}
