/* Lines of text without printf, which would be larger than the gate. */
#ifndef TEXT_H
#define TEXT_H

#include <stdint.h>

void text_add(const char *part);
void text_add_number(int64_t number);
void text_add_frames(uint32_t n_frames); /* as seconds with two decimals */
void text_end(void);                     /* print the line */

#endif
