/* Images that the fake drivers take for kernels, and the emulator's.
 *
 * Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */
#ifndef PITH_TEST_FAKE_IMAGES_H
#define PITH_TEST_FAKE_IMAGES_H

#define FAKE_MACHINE_CODE "\177ELF "
#define FAKE_PTX ".version 8.0\n.target "

#define FAKE_TEXT_IMAGE(target, format, text) {target, format, 0, text, sizeof text - 1}
#define FAKE_EMULATOR_IMAGES {"cuda:sm_80", PITH_EXEC_IMAGE_EMULATED, 0, &fake_kernels, sizeof fake_kernels}
#define FAKE_CUDA_IMAGES                                                                                     \
  FAKE_TEXT_IMAGE("cuda:sm_75", PITH_EXEC_IMAGE_PTX, FAKE_PTX "sm_75"),                                      \
      FAKE_TEXT_IMAGE("cuda:sm_80", PITH_EXEC_IMAGE_PTX, FAKE_PTX "sm_80"),                                  \
      FAKE_TEXT_IMAGE("cuda:sm_90a", PITH_EXEC_IMAGE_PTX, FAKE_PTX "sm_90a"),                                \
      FAKE_TEXT_IMAGE("cuda:sm_86", PITH_EXEC_IMAGE_CUBIN, FAKE_MACHINE_CODE "sm_86"),                       \
      FAKE_TEXT_IMAGE("cuda:sm_90a", PITH_EXEC_IMAGE_CUBIN, FAKE_MACHINE_CODE "sm_90a")
#define FAKE_HIP_IMAGES                                                                                      \
  FAKE_TEXT_IMAGE("hip:gfx90a", PITH_EXEC_IMAGE_HSACO, FAKE_MACHINE_CODE "gfx90a"),                          \
      FAKE_TEXT_IMAGE("hip:gfx942", PITH_EXEC_IMAGE_HSACO, FAKE_MACHINE_CODE "gfx942")
#define FAKE_EVERY_IMAGES FAKE_CUDA_IMAGES, FAKE_HIP_IMAGES, FAKE_EMULATOR_IMAGES

#endif
