"""The containers' code: preprocess, train, evaluate and serve, which meet SageMaker only in /opt/ml.

Outside a container `SAGEMAKER_BASE_DIR` moves /opt/ml:

    SAGEMAKER_BASE_DIR=/tmp/job python -m training.preprocess --class-selection "1-8"
"""
