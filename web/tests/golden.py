"""What the reference client makes of made-up pictures: python web/tests/golden.py > web/tests/golden.json."""
import json, sys, hashlib
import numpy as np
from composir.device.client.resize import preprocess
from composir.device.client.wire import QueryMessage, pack
def picture(w,h):
    y,x=np.mgrid[0:h,0:w]
    return np.stack([(x*7+y*13)%256,(x*x+y*3)%256,(x*y+y*y)%256],-1).astype(np.uint8)
base=dict(size=24,fit="squash",pad_ratio=1.25,pad_colour=[1,2,3],interpolation="bicubic")
cases=[]
for (w,h),change in [((40,31),{}),((333,97),{}),((97,500),{"fit":"targetpad"}),((300,120),{"fit":"pad","interpolation":"bilinear"}),((61,200),{"fit":"centre-crop","interpolation":"lanczos"}),((10,7),{}),((300,497),{"exact":"transformers","fit":"centre-crop"}),((497,300),{"exact":"open_clip","fit":"centre-crop","short_side":27}),((50,20),{"exact":"open_clip","fit":"pad"}),((1,33),{"exact":"transformers","fit":"squash"})]:
    spec={**base,**change}
    out=preprocess(picture(w,h),spec)
    cases.append(dict(width=w,height=h,spec=spec,pixels=out.reshape(-1).tolist()))
t=np.sin(np.arange(24,dtype=np.float32)).reshape(3,8).astype(np.float32)
v=np.array([.6,0,-.8,0],np.float32)
m=QueryMessage(tokens=t,text="at night, café",composer="isa",composer_fingerprint="0123456789abcdef",gallery_fingerprint="fedcba9876543210",text_checksum="00112233445566ff",negatives=("people","a dog"),vector=v)
print(json.dumps(dict(pictures=cases,message=pack(m,"int8").hex())))
